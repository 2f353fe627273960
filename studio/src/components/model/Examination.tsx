import { Link } from "wouter";
import type { TunedModel } from "../../api/client";
import { idOf } from "../../api/models";
import { useOffers } from "../../api/server";
import { canMend } from "../../mending";
import { text } from "../../text/en";
import { FindingTable } from "./FindingTable";
import { InquiryCard } from "./InquiryCard";

const FOLDS = 5;

/** Which of a model's own examples are doubtful, and the way to tune again without what is surely wrong. */
export function Examination({ model }: { model: TunedModel }) {
  const id = idOf(model.name);
  const isOffered = useOffers("tunedModels.examine") && model.state === "ACTIVE";
  if (!isOffered) return null;
  return (
    <InquiryCard
      kind="examinations"
      id={id}
      words={text.examination}
      more={{ label: text.examination.tuneToo, how: { foldCount: FOLDS } }}
      running={({ examinedRows = 0, totalRows }) => text.examination.running(examinedRows, totalRows)}
    >
      {({ rows, counts, findings }) => (
        <>
          <p className={`note ${counts.length > 0 ? "warn" : "good"}`}>
            {text.examination.found(
              rows,
              counts.map(({ kind, findings: number }) => text.examination.kind(kind, number)),
            )}
          </p>
          {findings.length > 0 && <FindingTable findings={findings} />}
          {findings.some(canMend) && (
            <div>
              <Link className="button" href={`/new?from=${id}&mended=1`}>
                {text.examination.mend(findings.filter(canMend).length)}
              </Link>
            </div>
          )}
        </>
      )}
    </InquiryCard>
  );
}
