import { Page } from "../components/Page";
import { text } from "../text/en";

const SECTIONS = [
  [text.help.formats, text.help.formatsText],
  [text.help.coming, text.help.comingText],
  [text.help.keys, text.help.keysText],
] as const;

/** What a newcomer asks, in three short sections. */
export function Help() {
  return (
    <Page title={text.help.title}>
      <div className="halves">
        {SECTIONS.map(([title, body]) => (
          <section className="card" key={title}>
            <h2>{title}</h2>
            <p>{body}</p>
          </section>
        ))}
      </div>
    </Page>
  );
}
