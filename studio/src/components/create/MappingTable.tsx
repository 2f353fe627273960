import { useState } from "react";
import { Button } from "react-aria-components";
import type { Parsed } from "../../api/examples";
import { counted } from "../../format";
import { ROLES, type Role, type Roles, rolesOf } from "../../reading";
import { SelectField } from "../controls";
import { ScrollRegion } from "../Facts";
import { text } from "./text";

type MappingTableProps = { parsed: Parsed; roles: Roles; use: (column: string, role: Role) => void };

const SHOWN_ROWS = 5;

/** The first rows of the file; the header of each column asks how the model uses it. */
export function MappingTable({ parsed, roles, use }: MappingTableProps) {
  const { columns = [], sample = [] } = parsed;
  const [showsAll, setShowsAll] = useState(false);
  const { inputs, output } = rolesOf(columns, roles);
  const more = sample.length - SHOWN_ROWS;
  return (
    <div className="stack tight">
      <div>
        <h3 id="mapping">{text.import.mapping}</h3>
        <p className="help">{text.import.mappingHelp}</p>
      </div>
      <ScrollRegion label={text.import.sample}>
        <table className="list small mapping" aria-describedby="mapping">
          <thead>
            <tr id="control-columns">
              <th scope="col" className="row-number">
                {text.grid.number}
              </th>
              {columns.map((column, place) => (
                <th key={place} scope="col" data-role={roles[column]}>
                  <SelectField
                    label={column}
                    value={roles[column] ?? "ignored"}
                    isSmall
                    change={(role) => use(column, role as Role)}
                    options={ROLES.map((role) => [role, text.import.roles[role]])}
                  />
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {sample.map(({ number, cells }, row) => (
              <tr key={number} hidden={!showsAll && row >= SHOWN_ROWS}>
                <td className="soft row-number">{number}</td>
                {cells.map((cell, place) => (
                  <td key={place} data-role={roles[columns[place] ?? ""]} data-column={columns[place]}>
                    <div dir="auto" className="clamp">
                      {cell}
                    </div>
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollRegion>
      {more > 0 && !showsAll && (
        <div>
          <Button className="button quiet small-button" onPress={() => setShowsAll(true)}>
            {text.import.moreRows(counted(more, "more row"))}
          </Button>
        </div>
      )}
      {inputs.length > 1 && <p className="small soft">{text.import.several}</p>}
      <div role="status">
        {inputs.length === 0 || !output ? (
          <p className="small wrong">{text.import.needBoth}</p>
        ) : (
          <p className="visually-hidden">{text.import.mapped(inputs, output)}</p>
        )}
      </div>
    </div>
  );
}
