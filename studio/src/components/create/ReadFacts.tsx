import { Button } from "react-aria-components";
import type { Parsed, ReadOptions } from "../../api/datasets";
import { text } from "../../text/en";
import { SelectField } from "../SelectField";

const ENCODINGS = [
  "utf-8",
  "utf-16",
  "windows-1252",
  "iso-8859-1",
  "iso-8859-15",
  "windows-1251",
  "shift_jis",
  "gb18030",
];

type Props = { parsed: Parsed; change: (part: ReadOptions) => void; leave: () => void };

/** What was found out about a file; all of it can be overruled. */
export function ReadFacts({ parsed, change, leave }: Props) {
  const { format, encoding, delimiter, sheet, sheets = [], hasHeader, rowCount = 0 } = parsed;
  const encodings = encoding && !ENCODINGS.includes(encoding) ? [encoding, ...ENCODINGS] : ENCODINGS;
  return (
    <>
      <div className="row spread">
        <div>
          <strong>{parsed.file.name}</strong>{" "}
          <span className="soft">
            {format && `· ${format} `}· {text.import.found(rowCount)}
          </span>
        </div>
        <Button className="button quiet" onPress={leave}>
          {text.import.another}
        </Button>
      </div>
      <div className="facts-row">
        {encoding && (
          <SelectField
            label={`${text.import.encoding} ${parsed.encodingIsGuessed ? text.import.guessed : ""}`}
            value={encoding}
            isSmall
            change={(next) => change({ encoding: next })}
          >
            {encodings.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </SelectField>
        )}
        {delimiter && (
          <SelectField
            label={text.import.delimiter}
            value={delimiter}
            isSmall
            change={(next) => change({ delimiter: next })}
          >
            {Object.entries(text.import.delimiters).map(([sign, name]) => (
              <option key={sign} value={sign}>
                {name}
              </option>
            ))}
          </SelectField>
        )}
        {sheets.length > 1 && (
          <SelectField
            label={text.import.sheet}
            value={sheet ?? ""}
            isSmall
            change={(next) => change({ sheet: next, inputColumn: undefined, outputColumn: undefined })}
          >
            {sheets.map(({ name, isHidden }) => (
              <option key={name} value={name}>
                {name} {isHidden && text.import.hidden}
              </option>
            ))}
          </SelectField>
        )}
        {hasHeader !== undefined && (
          <SelectField
            label={text.import.header}
            value={String(hasHeader)}
            isSmall
            change={(next) => change({ header: next, inputColumn: undefined, outputColumn: undefined })}
          >
            <option value="true">{text.import.headerYes}</option>
            <option value="false">{text.import.headerNo}</option>
          </SelectField>
        )}
      </div>
    </>
  );
}
