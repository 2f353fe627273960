import { useCard } from "../../api/cards";
import { atEpoch, idOf, splitEpoch } from "../../api/models";
import { useOffers } from "../../api/server";
import { text } from "../../text/en";
import { SelectField } from "../SelectField";

type Props = { of: string; model: string; choose: (model: string) => void };

/** Which epoch of a tuned model answers, where several were kept. */
export function EpochChoice({ of, model, choose }: Props) {
  const isTuned = model.startsWith("tunedModels/");
  const hasCards = useOffers("tunedModels.card");
  const kept = useCard(idOf(model), isTuned && hasCards).data?.curve.kept_epochs ?? [];
  if (!isTuned || kept.length < 2) return null;
  const [name, epoch] = splitEpoch(model);
  return (
    <SelectField
      label={text.epochs.of(of)}
      isLabelHidden
      isSmall
      value={epoch}
      change={(next) => choose(atEpoch(name, next))}
    >
      <option value="">{text.epochs.chosen}</option>
      {kept.map((number) => (
        <option key={number} value={number}>
          {text.epochs.number(number)}
        </option>
      ))}
    </SelectField>
  );
}
