import { expect, test } from "vitest";
import { blocks } from "../src/components/model/CardDialog";

test("a card is cut into its headings, paragraphs, tables and code", () => {
  const card = "# Name\n\nOne.\nTwo.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n## Calls\n\n```\nx\n\ny\n```\n";
  expect(blocks(card)).toEqual(["# Name", "One.\nTwo.", "| a | b |\n|---|---|\n| 1 | 2 |", "## Calls", "```x\n\ny"]);
});
