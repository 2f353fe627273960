import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";

const SRC = join(import.meta.dirname, "../src");
const MAX_FILES = 110;

/** The files of the Studio besides the generated types, each with the files that it imports when it is loaded. */
function imports(): Map<string, string[]> {
  const names = readdirSync(SRC, { recursive: true, encoding: "utf8" });
  const files = names.filter((name) => /\.(tsx?|css)$/.test(name) && name !== join("api", "schema.d.ts"));
  return new Map(
    files.map((file) => {
      const paths = [...readFileSync(join(SRC, file), "utf8").matchAll(/^(?:import|\} from) .*?"(\.[^"]*)";$/gm)];
      const found = paths.flatMap(([, path = ""]) =>
        ["", ".ts", ".tsx"].map((ending) => relative(SRC, join(SRC, dirname(file), path + ending))),
      );
      return [file, found.filter((name) => files.includes(name))];
    }),
  );
}

test("no file imports itself through others", () => {
  const left = imports();
  for (let size = -1; size !== left.size;) {
    size = left.size;
    for (const [file, needed] of left) if (!needed.some((name) => left.has(name))) left.delete(file);
  }
  expect([...left.keys()]).toEqual([]);
});

test("the Studio can be held in the head", () => {
  expect(imports().size).toBeLessThanOrEqual(MAX_FILES);
});
