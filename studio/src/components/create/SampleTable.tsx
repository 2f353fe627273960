import { useEffect, useRef } from "react";
import type { Parsed } from "../../api/datasets";
import { text } from "../../text/en";
import { ScrollRegion } from "../ScrollRegion";

/** The first rows as they stand in the file; one of them may be pointed at. */
export function SampleTable({ parsed, shownRow }: { parsed: Parsed; shownRow?: number }) {
  const { columns = [], sample = [] } = parsed;
  const marked = useRef<HTMLTableRowElement>(null);
  useEffect(() => {
    marked.current?.scrollIntoView({ block: "center" });
    marked.current?.focus();
  }, [shownRow]);
  return (
    <div>
      <h3>{text.import.sample}</h3>
      <ScrollRegion height={260} label={text.import.sample}>
        <table className="list small">
          <thead>
            <tr>
              <th scope="col">{text.grid.number}</th>
              {columns.map((name, place) => (
                <th scope="col" key={place}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {sample.map(({ number, cells }) => (
              <tr
                key={number}
                ref={number === shownRow ? marked : undefined}
                tabIndex={number === shownRow ? -1 : undefined}
                data-selected={number === shownRow || undefined}
              >
                <td className="soft">{number}</td>
                {cells.map((cell, place) => (
                  <td key={place}>
                    <div className="clamp">{cell}</div>
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollRegion>
    </div>
  );
}
