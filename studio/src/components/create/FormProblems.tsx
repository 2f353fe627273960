import type { Ref } from "react";
import type { FormProblem } from "../../formProblems";
import { text } from "../../text/en";

/** All that stands in the way, at the top of the form, with links to the places. */
export function FormProblems({ problems, ref }: { problems: FormProblem[]; ref: Ref<HTMLDivElement> }) {
  return (
    <div className="note bad" role="alert" tabIndex={-1} ref={ref}>
      <h2>{text.create.problems}</h2>
      <ul className="plain-list">
        {problems.map(({ place, message }) => (
          <li key={message}>
            <a href={`#${place}`}>{message}</a>
          </li>
        ))}
      </ul>
    </div>
  );
}
