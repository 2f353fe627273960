import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Button } from "react-aria-components";
import { idOf, type TunedModel } from "../../api/client";
import { readCard } from "../../api/reports";
import { download } from "../../transfer";
import { CopyButton, withCode } from "../Code";
import { Window } from "../dialogs";
import { QueryState } from "../Page";
import { text } from "./text";

/** Everything known about a tuned model on one page, which can be copied or saved as Markdown. */
export function CardDialog({ model, onClose }: { model: TunedModel; onClose: () => void }) {
  const id = idOf(model.name);
  const query = useQuery({ queryKey: ["cardText", id], queryFn: () => readCard(id), staleTime: 0 });
  const card = query.data ?? "";
  return (
    <Window title={text.model.card} isOpen isWide onClose={onClose}>
      <QueryState query={query} />
      {query.data !== undefined && (
        <>
          <div className="stack tight prose">{blocks(card).map(drawn)}</div>
          <div className="row">
            <CopyButton content={card} />
            <Button onPress={() => download(`${id}-card.md`, card, "text/markdown")}>{text.common.download}</Button>
          </div>
        </>
      )}
    </Window>
  );
}

/** The blocks of a card's Markdown: code between fences, and paragraphs separated by blank lines. */
export function blocks(markdown: string): string[] {
  const parts = markdown.split(/^```\n?/m);
  return parts.flatMap((part, place) =>
    place % 2 === 1
      ? [`\`\`\`${part.trimEnd()}`]
      : part
          .split(/\n\s*\n/)
          .map((block) => block.trim())
          .filter(Boolean),
  );
}

function drawn(block: string, place: number): ReactNode {
  if (block.startsWith("```")) return <pre key={place}>{block.slice(3)}</pre>;
  if (block.startsWith("#")) return <h3 key={place}>{block.replace(/^#+ /, "")}</h3>;
  const lines = block.split("\n");
  if (lines.every((line) => line.startsWith("|"))) return <CardTable key={place} lines={lines} />;
  if (lines.every((line) => line.startsWith("- ")))
    return (
      <ul key={place} className="plain-list">
        {lines.map((line) => (
          <li key={line}>{withCode(line.slice(2))}</li>
        ))}
      </ul>
    );
  return (
    <p key={place} dir="auto">
      {withCode(lines.map((line) => line.trim()).join(" "))}
    </p>
  );
}

function CardTable({ lines }: { lines: string[] }) {
  const [head = [], , ...rows] = lines.map((line) => line.split("|").slice(1, -1));
  return (
    <div className="scroll">
      <table className="list small">
        <thead>
          <tr>
            {head.map((cell) => (
              <th key={cell} scope="col">
                {cell.trim()}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, place) => (
            <tr key={place}>
              {row.map((cell, column) => (
                <td key={column}>{cell.trim()}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
