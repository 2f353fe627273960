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
    "Add examples: a file with two columns, an input and the answer you want. 20 to 500 rows are typical.",
    "Give the model a name and press Tune. The defaults suit most tasks: 5 epochs, batch size 4, learning rate 0.001.",
    "When it is ready, try it in the playground, compare it with its base model, or call it from your own code (API tab).",
  ],
  formats: "Formats",
  formatRows: [
    ["CSV, TSV", "Any delimiter and encoding, line breaks inside quotes, with or without a header"],
    ["XLSX, XLS, ODS", "One sheet; whole numbers stay whole (7, not 7.0)"],
    [
      "JSONL, JSON",
      "text_input and output, prompt and completion, or chat messages in OpenAI's and Vertex AI's format",
    ],
    ["AI Studio", "A structured prompt, as stored in Google Drive"],
  ],
  coming: "Coming from Google AI Studio",
  comingSteps: [
    "Download the prompt from Google Drive (folder “Google AI Studio”) and import it under Structured prompts or New tuned model.",
    "Keep your code; change only the address and the credentials. `tunery login --print-token` prints a token.",
    "Model names in old code, such as models/gemini-1.0-pro-001, still work. The list of base models shows which open weights answer for each.",
    "You can't bring a model tuned at Google, because Google never released the weights. Tune it again on the same examples.",
  ],
  keyboard: "Keyboard",
  keys: [
    ["Tab, Shift+Tab", "Next and previous control"],
    ["Ctrl+Enter", "Tune or run, when the focus is in the form"],
    ["Esc", "Close a dialog or menu; stop editing a row without saving"],
    ["Arrow keys", "Move within the examples grid, menus and tabs; read the loss curve"],
    ["Enter or F2", "Edit a row of the examples grid"],
    ["Ctrl+Enter in a row", "Save the row and move down"],
    ["Space", "Select a row of the grid"],
    ["Delete", "Clear a cell"],
    ["Ctrl+A, Ctrl+V", "Select all rows; add rows from a spreadsheet"],
  ],
  about: "About this server",
  version: "Version",
  device: "Device",
  memory: "Memory",
  base: "Default base model",
  licence: "License",
  licenceText: "tunery and the Studio: Apache-2.0. Each base model has its own license, shown under New tuned model.",
  libraries:
    "The Studio uses React, React Aria, TanStack Query, Recharts, wouter, openapi-fetch, eventsource-parser and diff (MIT, Apache-2.0, BSD-3-Clause or ISC licenses).",
  diagnostics: "Copy diagnostics",
  diagnosticsHelp: "Versions, device and limits; none of your data.",
} as const;

/** First steps, formats, keys, coming from AI Studio, and facts about the server. */
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
