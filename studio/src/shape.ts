// The form in which a model was tuned, as its first inputs show it: what they all begin with.

const MIN_CHARACTERS = 3;

/** What all inputs begin with, up to the end of a line or of a label such as "input:"; empty if there is nothing. */
export function commonBeginning(inputs: string[]): string {
  const [first = "", ...others] = inputs;
  if (others.length === 0) return "";
  let end = first.length;
  for (const other of others) {
    let same = 0;
    while (same < end && first[same] === other[same]) same += 1;
    end = same;
  }
  const common = first.slice(0, end);
  const border = Math.max(common.lastIndexOf("\n") + 1, common.lastIndexOf(": ") + 2, labelEnd(common));
  const beginning = common.slice(0, border);
  return beginning.trim().length >= MIN_CHARACTERS ? beginning : "";
}

function labelEnd(common: string) {
  return common.endsWith(":") ? common.length : 0;
}
