import type { ReactNode } from "react";
import { useServerInfo } from "../api/account";
import { CopyButton, withCode } from "../components/Code";
import { Facts } from "../components/Facts";
import { Page } from "../components/Page";
import { text } from "../components/text";
import { megabytes } from "../format";

const words = {
  title: "Help",
  first: "From examples to answers",
  firstSteps: [
    "Bring examples: a file with two columns, what is asked and what shall be answered. 20 to 500 rows are usual.",
    "Give the model a name and press Tune. The defaults suit most tasks: 5 epochs, batch size 4, learning rate 0.001.",
    "When it is ready, ask it in the playground, compare it with its base, or call it from your own code (API tab).",
  ],
  formats: "Formats",
  formatRows: [
    ["CSV, TSV", "Any delimiter and encoding; quotes with line breaks inside; with or without a header"],
    ["XLSX, XLS, ODS", "One sheet; whole numbers stay 7, not 7.0"],
    ["JSONL, JSON", "text_input and output, prompt and completion, chat lines of OpenAI and Vertex"],
    ["AI Studio", "The file of a structured prompt, as it lies in Google Drive"],
  ],
  coming: "Coming from Google AI Studio",
  comingSteps: [
    "Download the prompt from Google Drive (folder “Google AI Studio”) and import it under Structured prompts or New tuned model.",
    "Your code stays: change the address and the credentials. `tunery login --print-token` prints a token.",
    "Model names of old code, such as models/gemini-1.0-pro-001, are known here; the base model list says which open weights answer.",
    "A tuned model of Google's cannot be taken along, since its weights were never given out. Tune it again from the same examples.",
  ],
  keyboard: "Keyboard",
  keys: [
    ["Tab, Shift+Tab", "Next and previous control"],
    ["Ctrl+Enter", "Tune or run, in the form that has the focus"],
    ["Esc", "Close a dialog or menu; leave a row under edit as it was"],
    ["Arrow keys", "Move in the examples grid, in menus and tabs; read the loss chart"],
    ["Enter or F2", "Edit a row of the examples grid"],
    ["Ctrl+Enter in a row", "Save the row and go down"],
    ["Space", "Select a row of the grid"],
    ["Delete", "Clear a cell"],
    ["Ctrl+A, Ctrl+V", "Select all rows; add rows from a spreadsheet"],
  ],
  about: "About this server",
  version: "Version",
  device: "Device",
  memory: "Memory",
  base: "Default base",
  licence: "Licence",
  licenceText: "tunery and the Studio: Apache-2.0. Base models have licences of their own; New tuned model shows them.",
  libraries:
    "The Studio is made with React, React Aria, TanStack Query, Recharts, wouter, openapi-fetch, eventsource-parser and diff (MIT, Apache-2.0, BSD-3-Clause or ISC licences).",
  diagnostics: "Copy diagnostics",
  diagnosticsHelp: "Versions, device and limits; nothing of your data.",
} as const;

/** What a newcomer asks: the way to a first model, formats, keys, where one comes from, and about the server. */
export function Help() {
  return (
    <Page title={words.title}>
      <div className="halves wide">
        <Card title={words.first}>
          <Steps steps={words.firstSteps} />
        </Card>
        <Card title={words.coming}>
          <Steps steps={words.comingSteps} />
        </Card>
        <Card title={words.formats}>
          <Facts facts={words.formatRows.map(([name, what]) => [name, what])} />
        </Card>
        <Card title={words.keyboard}>
          <Facts facts={words.keys.map(([keys, what]) => [<kbd key={keys}>{keys}</kbd>, what])} />
        </Card>
        <About />
      </div>
    </Page>
  );
}

function Card({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="card">
      <h2>{title}</h2>
      {children}
    </section>
  );
}

function Steps({ steps }: { steps: readonly string[] }) {
  return (
    <ol className="steps">
      {steps.map((step) => (
        <li key={step}>{withCode(step)}</li>
      ))}
    </ol>
  );
}

function About() {
  const info = useServerInfo().data;
  const { device, defaultBase } = info ?? {};
  return (
    <section className="card stack">
      <h2>{words.about}</h2>
      <Facts
        facts={[
          [words.version, info?.version],
          [words.device, device && `${device.name}, ${text.device(device.cores)}`],
          [words.memory, device?.memoryBytes && megabytes(device.memoryBytes)],
          [words.base, defaultBase && `${defaultBase.displayName} (${defaultBase.name})`],
          [words.licence, words.licenceText],
        ]}
      />
      <p className="small soft">{words.libraries}</p>
      <div className="row">
        <CopyButton
          label={words.diagnostics}
          content={JSON.stringify({ ...info, browser: navigator.userAgent }, null, 2)}
        />
        <span className="help">{words.diagnosticsHelp}</span>
      </div>
    </section>
  );
}
