import { lazy, Suspense } from "react";
import { Link, Route, Router, Switch, useLocation } from "wouter";
import { ErrorBoundary, Page, Skeleton } from "./components/Page";
import { Shell } from "./components/Shell";
import { text } from "./components/text";
import { Library } from "./screens/Library";
import { ModelPage } from "./screens/ModelPage";

const NewModel = lazy(() => import("./screens/NewModel").then((module) => ({ default: module.NewModel })));
const Playground = lazy(() => import("./screens/Playground").then((module) => ({ default: module.Playground })));
const Prompts = lazy(() => import("./screens/Prompts").then((module) => ({ default: module.Prompts })));
const PromptPage = lazy(() => import("./screens/PromptPage").then((module) => ({ default: module.PromptPage })));
const Activity = lazy(() => import("./screens/Activity").then((module) => ({ default: module.Activity })));
const Compare = lazy(() => import("./screens/Compare").then((module) => ({ default: module.Compare })));
const Bases = lazy(() => import("./screens/Bases").then((module) => ({ default: module.Bases })));
const Accounts = lazy(() => import("./screens/Accounts").then((module) => ({ default: module.Accounts })));
const Help = lazy(() => import("./screens/Help").then((module) => ({ default: module.Help })));

export function App() {
  return (
    <Router base="/studio">
      <Shell>
        <Pages />
      </Shell>
    </Router>
  );
}

function Pages() {
  const [here] = useLocation();
  return (
    <ErrorBoundary place={here}>
      <Suspense fallback={<Skeleton />}>
        <Switch>
          <Route path="/" component={Library} />
          <Route path="/new" component={NewModel} />
          <Route path="/models/:id">{({ id }) => <ModelPage key={id} id={id} />}</Route>
          <Route path="/playground" component={Playground} />
          <Route path="/prompts" component={Prompts} />
          <Route path="/prompts/:id">{({ id }) => <PromptPage key={id} id={id} />}</Route>
          <Route path="/compare" component={Compare} />
          <Route path="/activity" component={Activity} />
          <Route path="/bases" component={Bases} />
          <Route path="/accounts" component={Accounts} />
          <Route path="/help" component={Help} />
          <Route>
            <Missing />
          </Route>
        </Switch>
      </Suspense>
    </ErrorBoundary>
  );
}

function Missing() {
  return (
    <Page title={text.error.missing}>
      <p>{text.error.missingHelp}</p>
      <div>
        <Link className="button primary" href="/">
          {text.error.toLibrary}
        </Link>
      </div>
    </Page>
  );
}
