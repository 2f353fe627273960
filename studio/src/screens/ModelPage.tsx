import { useState } from "react";
import { Tab, TabList, TabPanel, Tabs } from "react-aria-components";
import { Link, useLocation, useSearch } from "wouter";
import { useIsSignedIn } from "../api/account";
import { ApiError, idOf } from "../api/client";
import { isRunning, titleOf, useOperation, useTunedModel } from "../api/models";
import { shortState, StateBadge } from "../components/JobState";
import { ApiTab } from "../components/model/Calling";
import { DataTab } from "../components/model/DataTab";
import { ModelActions, ModelName } from "../components/model/Header";
import { HeldOutTab } from "../components/model/HeldOut";
import { Overview } from "../components/model/Overview";
import { LogTab, Outcome, Progress } from "../components/model/Run";
import { text } from "../components/model/text";
import { ErrorNote, Page, Skeleton } from "../components/Page";
import { SignInNote } from "../components/SignIn";

/** A tuned model: progress, loss curve, settings, rows, log, and how to call it. */
export function ModelPage({ id }: { id: string }) {
  const [, go] = useLocation();
  const tab = new URLSearchParams(useSearch()).get("tab") ?? "overview";
  const query = useTunedModel(id);
  const operation = useOperation(query.data).data;
  const isSignedIn = useIsSignedIn();
  const model = query.data;
  const [ranHere, setRanHere] = useState(false); // while this page was open: then the tab also says how it ended
  if (isRunning(model) && !ranHere) setRanHere(true);
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
      state={ranHere ? shortState(model, operation) : undefined}
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
          <Tab id="heldOut">{text.model.heldOut}</Tab>
          <Tab id="data">{text.model.data}</Tab>
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
