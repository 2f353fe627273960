import { text } from "../../text/en";
import { NumberInput } from "../NumberInput";
import { SelectField } from "../SelectField";

const SHARE = "10%";
const ROWS = 10;

/** How many rows are held out: none, a tenth, or a number. */
export function HoldOutInput({ value, change }: { value: string; change: (value: string) => void }) {
  const kind = value === "0" ? "off" : value.endsWith("%") ? "share" : "rows";
  const values: Record<string, string> = { off: "0", share: SHARE, rows: String(ROWS) };
  return (
    <div className="stack tight">
      <SelectField
        label={text.create.holdOut}
        value={kind}
        change={(next) => change(values[next] ?? "0")}
        help={text.create.holdOutHelp}
      >
        <option value="off">{text.create.holdOutOff}</option>
        <option value="share">{text.create.holdOutShare}</option>
        <option value="rows">{text.create.holdOutRows}</option>
      </SelectField>
      {kind === "rows" && (
        <NumberInput
          label={text.create.holdOutCount}
          value={Number(value)}
          change={(rows) => change(String(rows))}
          min={1}
        />
      )}
    </div>
  );
}
