import { useState } from "react";
import { Button, Tab, TabList, TabPanel, Tabs } from "react-aria-components";
import type { Snippets } from "../snippets";
import { text } from "./text";

/** The same request in several languages, with a copy button each. */
export function CodeTabs({ snippets }: { snippets: Snippets }) {
  const names = Object.keys(snippets);
  return (
    <Tabs className="react-aria-Tabs code-tabs">
      <TabList aria-label={text.common.code}>
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

const SHOWN_MS = 2000;

/** Copies a text to the clipboard and confirms it. */
export function CopyButton({ content, label = text.common.copy }: { content: string; label?: string }) {
  const [isCopied, setCopied] = useState(false);
  return (
    <Button
      onPress={() => {
        void navigator.clipboard.writeText(content).then(() => setCopied(true));
        setTimeout(() => setCopied(false), SHOWN_MS);
      }}
    >
      <span aria-live="polite">{isCopied ? text.common.copied : label}</span>
    </Button>
  );
}

/** A sentence in which backquotes mark code. */
export function withCode(sentence: string) {
  return sentence.split("`").map((part, place) => (place % 2 === 1 ? <code key={place}>{part}</code> : part));
}
