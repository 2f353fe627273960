import { Button, Tab, TabList, TabPanel, Tabs } from "react-aria-components";
import { text } from "../text/en";

/** The same request in several languages, each to be copied. */
export function CodeTabs({ snippets }: { snippets: Record<string, string> }) {
  const names = Object.keys(snippets);
  return (
    <Tabs>
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
          <div className="row" style={{ marginTop: 8 }}>
            <Button onPress={() => void navigator.clipboard.writeText(snippets[name] ?? "")}>
              {text.playground.copy}
            </Button>
          </div>
        </TabPanel>
      ))}
    </Tabs>
  );
}
