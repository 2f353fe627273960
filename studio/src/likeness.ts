// How near an answer comes to what was expected: the share of words they have in common (F1), from 0 to 1.

export function likeness(answer: string, expected: string): number {
  const [given, wanted] = [words(answer), words(expected)];
  if (given.length === 0 || wanted.length === 0) return 0;
  const left = new Map<string, number>();
  for (const word of wanted) left.set(word, (left.get(word) ?? 0) + 1);
  let common = 0;
  for (const word of given) {
    const number = left.get(word) ?? 0;
    if (number > 0) {
      left.set(word, number - 1);
      common += 1;
    }
  }
  return (2 * common) / (given.length + wanted.length);
}

const words = (text: string) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
