import { Tab, TabList, TabPanel, Tabs } from "react-aria-components";
import { Link, useLocation, useSearch } from "wouter";
import { useIsSignedIn } from "../api/account";
import { ApiError } from "../api/client";
import { idOf, isRunning, titleOf, useTunedModel } from "../api/models";
import { useOperation } from "../api/operations";
import { useOffers } from "../api/server";
import { ErrorNote, SignInNote } from "../components/ErrorNote";
import { ApiTab } from "../components/model/ApiTab";
import { DataTab } from "../components/model/DataTab";
import { HeldOutTab } from "../components/model/HeldOutTab";
import { LogTab } from "../components/model/LogTab";
import { ModelActions } from "../components/model/ModelActions";
import { ModelName } from "../components/model/ModelName";
import { Outcome } from "../components/model/Outcome";
import { Overview } from "../components/model/Overview";
import { Page } from "../components/Page";
import { Progress } from "../components/model/Progress";
import { Skeleton } from "../components/Skeleton";
import { StateBadge } from "../components/StateBadge";
import { text } from "../text/en";

/** One tuned model: how its making goes or went, its curve, its settings, its rows, and how to call it. */
export function ModelPage({ id }: { id: string }) {
  const [, go] = useLocation();
  const tab = new URLSearchParams(useSearch()).get("tab") ?? "overview";
  const query = useTunedModel(id);
  const operation = useOperation(query.data).data;
  const hasExamples = useOffers("tunedModels.examples");
  const isSignedIn = useIsSignedIn();
  const model = query.data;
  if (!model) {
    const isMissing = query.error instanceof ApiError && query.error.code === 404;
    return (
      <Page title={titleOf(id)}>
        {isSignedIn === false && <SignInNote />}
        {isMissing ? (
          <Missing />
        ) : (
          query.isError && <ErrorNote error={query.error} retry={() => void query.refetch()} />
        )}
        {query.isPending && isSignedIn && <Skeleton />}
      </Page>
    );
  }
  const isReady = model.state === "ACTIVE";
  const isUnderWay = isRunning(model);
  return (
    <Page
      title={model.displayName}
      beside={<StateBadge model={model} operation={operation} />}
      actions={<ModelActions model={model} />}
    >
      {query.isError && <ErrorNote error={query.error} />}
      <ModelName key={model.displayName} model={model} />
      <Outcome model={model} />
      {isUnderWay && operation && <Progress model={model} operation={operation} />}
      <Tabs
        selectedKey={tab}
        onSelectionChange={(key) =>
          go(`/models/${idOf(model.name)}${key === "overview" ? "" : `?tab=${key}`}`, { replace: true })
        }
      >
        <TabList aria-label={model.displayName}>
          <Tab id="overview">{text.model.overview}</Tab>
          {hasExamples && <Tab id="heldOut">{text.model.heldOut}</Tab>}
          {hasExamples && <Tab id="data">{text.model.data}</Tab>}
          {isReady && <Tab id="api">{text.model.api}</Tab>}
          <Tab id="log">{text.model.log}</Tab>
        </TabList>
        <TabPanel id="overview">
          <Overview model={model} operation={operation} />
        </TabPanel>
        <TabPanel id="heldOut">
          <HeldOutTab model={model} />
        </TabPanel>
        <TabPanel id="data">
          <DataTab model={model} />
        </TabPanel>
        {isReady && (
          <TabPanel id="api">
            <ApiTab model={model} />
          </TabPanel>
        )}
        <TabPanel id="log">
          <LogTab model={model} />
        </TabPanel>
      </Tabs>
    </Page>
  );
}

function Missing() {
  return (
    <div className="card empty">
      <h2>{text.model.gone}</h2>
      <Link className="button primary" href="/">
        {text.error.toLibrary}
      </Link>
    </div>
  );
}
