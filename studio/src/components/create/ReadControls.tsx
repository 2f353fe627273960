import type { ReactNode } from "react";
import type { Parsed, ReadOptions } from "../../api/examples";
import type { Option } from "../../reading";
import { Checkbox, SelectField } from "../controls";
import { text } from "./text";

type Change = (part: ReadOptions) => void;
type ReadControlsProps = { parsed: Parsed; options: ReadOptions; shown: Set<Option>; change: Change };

const HEADER_ROWS = 10; // offered; a larger number is shown only if it was detected

/** How the file was read: encoding, delimiter, sheet, header row, hidden rows. All can be changed. */
export function ReadControls({ parsed, options, shown, change }: ReadControlsProps) {
  const { hasHeader, headerRow, sheets = [] } = parsed;
  const header = options.headerRow ?? (hasHeader === undefined ? "" : hasHeader ? String(headerRow ?? "") : "0");
  return (
    <div className="facts-row">
      {shown.has("encoding") && (
        <Choice
          option="encoding"
          label={`${text.import.encoding} ${parsed.encodingIsGuessed ? text.import.guessed : ""}`}
          value={parsed.encoding ?? options.encoding ?? ""}
          values={Object.keys(text.import.encodings)}
          name={text.import.encodingName}
          change={change}
        />
      )}
      {shown.has("delimiter") && (
        <Choice
          option="delimiter"
          label={text.import.delimiter}
          value={parsed.delimiter ?? options.delimiter ?? ""}
          values={Object.keys(text.import.delimiters)}
          name={text.import.delimiterName}
          change={change}
        />
      )}
      {shown.has("sheet") && (
        <Choice
          option="sheet"
          label={text.import.sheet}
          value={parsed.sheet ?? ""}
          values={sheets.map(({ name }) => name)}
          name={(sheet) =>
            sheets.some(({ name, isHidden }) => name === sheet && isHidden) ? `${sheet} ${text.import.hidden}` : sheet
          }
          change={change}
        />
      )}
      {shown.has("headerRow") && (
        <Choice
          option="headerRow"
          label={text.import.header}
          value={header}
          values={Array.from({ length: HEADER_ROWS + 1 }, (_, row) => String(row))}
          name={text.import.headerIn}
          change={change}
        />
      )}
      {shown.has("hiddenRows") && (
        <Place option="hiddenRows">
          <Checkbox
            label={text.import.hiddenRows}
            isChecked={options.hiddenRows === "true"}
            change={(isRead) => change({ hiddenRows: String(isRead) })}
          />
        </Place>
      )}
    </div>
  );
}

type ChoiceProps = {
  option: Option;
  label: string;
  value: string; // empty: unknown
  values: string[];
  name: (value: string) => string;
  change: Change;
};

/** The usual values, and the one that is used. */
function Choice({ option, label, value, values, name, change }: ChoiceProps) {
  const unknown = value === "" ? ([["", text.import.choose]] as const) : [];
  const all = value === "" || values.includes(value) ? values : [value, ...values];
  return (
    <Place option={option}>
      <SelectField
        label={label.trim()}
        value={value}
        isSmall
        change={(next) => change({ [option]: next || undefined })}
        options={[...unknown, ...all.map((one) => [one, name(one)] as const)]}
      />
    </Place>
  );
}

/** The control of an option, to which messages link. */
function Place({ option, children }: { option: Option; children: ReactNode }) {
  return <div id={`control-${option}`}>{children}</div>;
}

/** Move the focus to the place where an option is set: its question if there is one, else its control. */
export function focusOption(option: Option) {
  const find = (selector: string) =>
    [...document.querySelectorAll<HTMLSelectElement>(selector)].filter((found) => found.offsetParent !== null);
  const columns = find("#control-columns select");
  const role = option === "outputColumn" ? "output" : "input";
  const [target] = [
    ...find(`#question-${option} input:checked`),
    ...find(`#question-${option} input`),
    ...find(`#control-${option} :is(select, input)`),
    ...(option.endsWith("Column") ? [...columns.filter(({ value }) => value === role), ...columns] : []),
  ];
  target?.focus();
}
