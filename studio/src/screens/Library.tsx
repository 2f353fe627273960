import { Tab, TabList, TabPanel, Tabs } from "react-aria-components";
import { Link, useLocation, useSearch } from "wouter";
import { useIsSignedIn } from "../api/account";
import { ModelList } from "../components/library/ModelList";
import { text } from "../components/library/text";
import { Page } from "../components/Page";
import { PromptList } from "../components/prompts/PromptList";
import { SignInNote } from "../components/SignIn";

/** The user's tuned models and structured prompts. */
export function Library() {
  const [, go] = useLocation();
  const tab = new URLSearchParams(useSearch()).get("tab") ?? "models";
  const isSignedIn = useIsSignedIn();
  const create = (
    <Link className="button primary" href="/new">
      {text.nav.create}
    </Link>
  );
  return (
    <Page title={text.library.title} actions={create}>
      {isSignedIn === false && <SignInNote />}
      {isSignedIn && (
        <Tabs
          selectedKey={tab}
          onSelectionChange={(key) => go(key === "models" ? "/" : `/?tab=${key}`, { replace: true })}
        >
          <TabList aria-label={text.library.title}>
            <Tab id="models">{text.library.models}</Tab>
            <Tab id="prompts">{text.library.prompts}</Tab>
          </TabList>
          <TabPanel id="models">
            <ModelList />
          </TabPanel>
          <TabPanel id="prompts">
            <PromptList />
          </TabPanel>
        </Tabs>
      )}
    </Page>
  );
}
