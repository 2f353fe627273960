import { Route, Router, Switch } from "wouter";
import { Shell } from "./components/Shell";
import { Help } from "./screens/Help";
import { Library } from "./screens/Library";
import { ModelPage } from "./screens/ModelPage";
import { NewModel } from "./screens/NewModel";
import { Playground } from "./screens/Playground";
import { Page } from "./components/Page";
import { text } from "./text/en";

export function App() {
  return (
    <Router base="/studio">
      <Shell>
        <Switch>
          <Route path="/" component={Library} />
          <Route path="/new" component={NewModel} />
          <Route path="/models/:id">{({ id }) => <ModelPage id={id} />}</Route>
          <Route path="/playground" component={Playground} />
          <Route path="/help" component={Help} />
          <Route>
            <Page title={text.error.missing} />
          </Route>
        </Switch>
      </Shell>
    </Router>
  );
}
