import { Tab, TabList, TabPanel, Tabs } from "react-aria-components";
import type { Snippets } from "../snippets";
import { text } from "../text/en";
import { CopyButton } from "./CopyButton";

/** The same request in several languages, each to be copied. */
export function CodeTabs({ snippets }: { snippets: Snippets }) {
  const names = Object.keys(snippets);
  return (
    <Tabs className="react-aria-Tabs code-tabs">
      <TabList aria-label={text.model.api}>
        {names.map((name) => (
          <Tab key={name} id={name}>
            {name}
          </Tab>
        ))}
      </TabList>
      {names.map((name) => (
        <TabPanel key={name} id={name}>
          <pre>{snippets[name]}</pre>
          <div className="row gap-top">
            <CopyButton content={snippets[name] ?? ""} />
          </div>
        </TabPanel>
      ))}
    </Tabs>
  );
}
