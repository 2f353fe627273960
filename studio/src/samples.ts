// The data sets that come with the Studio.

export const SAMPLES = ["next-number", "tickets", "headline"] as const;
export type Sample = (typeof SAMPLES)[number];

export const sampleNamed = (name: string | null): Sample | undefined =>
  SAMPLES.find((sample) => sample === name);

export async function sampleFile(sample: Sample): Promise<File> {
  const reply = await fetch(`/studio/samples/${sample}.csv`);
  return new File([await reply.blob()], `${sample}.csv`);
}
