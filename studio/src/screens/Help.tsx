import type { ReactNode } from "react";
import { useServerInfo } from "../api/server";
import { CopyButton } from "../components/CopyButton";
import { Facts } from "../components/Facts";
import { withCode } from "../components/model/ApiTab";
import { Page } from "../components/Page";
import { megabytes } from "../format";
import { text } from "../text/en";

const help = text.helpPage;

/** What a newcomer asks: the way to a first model, formats, keys, where one comes from, and about the server. */
export function Help() {
  return (
    <Page title={help.title}>
      <div className="halves wide">
        <Card title={help.first}>
          <Steps steps={help.firstSteps} />
        </Card>
        <Card title={help.coming}>
          <Steps steps={help.comingSteps} />
        </Card>
        <Card title={help.formats}>
          <Facts facts={help.formatRows.map(([name, what]) => [name, what])} />
        </Card>
        <Card title={help.keyboard}>
          <Facts facts={help.keys.map(([keys, what]) => [<kbd key={keys}>{keys}</kbd>, what])} />
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
      <h2>{help.about}</h2>
      <Facts
        facts={[
          [help.version, info?.version],
          [help.device, device && `${device.name}, ${text.device(device.cores)}`],
          [help.memory, device?.memoryBytes && megabytes(device.memoryBytes)],
          [help.base, defaultBase && `${defaultBase.displayName} (${defaultBase.name})`],
          [help.licence, help.licenceText],
        ]}
      />
      <p className="small soft">{help.libraries}</p>
      <div className="row">
        <CopyButton
          label={help.diagnostics}
          content={JSON.stringify({ ...info, browser: navigator.userAgent }, null, 2)}
        />
        <span className="help">{help.diagnosticsHelp}</span>
      </div>
    </section>
  );
}
