import { Tab, TabList, TabPanel, Tabs } from "react-aria-components";
import { useLocation, useSearch } from "wouter";
import { useIsSignedIn, useMe } from "../api/account";
import { AuditLog } from "../components/accounts/AuditLog";
import { Keys } from "../components/accounts/Keys";
import { text } from "../components/accounts/text";
import { Users } from "../components/accounts/Users";
import { Page } from "../components/Page";
import { SignInNote } from "../components/SignIn";

/** Users, keys and the audit log, for administrators. */
export function Accounts() {
  const [, go] = useLocation();
  const tab = new URLSearchParams(useSearch()).get("tab") ?? "users";
  const isSignedIn = useIsSignedIn();
  const isAdmin = useMe().data?.isAdmin === true;
  return (
    <Page title={text.accounts.title}>
      {isSignedIn === false && <SignInNote />}
      {isSignedIn && !isAdmin && <p className="card soft">{text.accounts.forAdmins}</p>}
      {isSignedIn && isAdmin && (
        <Tabs
          selectedKey={tab}
          onSelectionChange={(key) => go(key === "users" ? "/accounts" : `/accounts?tab=${key}`, { replace: true })}
        >
          <TabList aria-label={text.accounts.title}>
            <Tab id="users">{text.accounts.users}</Tab>
            <Tab id="keys">{text.accounts.keys}</Tab>
            <Tab id="log">{text.audit.title}</Tab>
          </TabList>
          <TabPanel id="users">
            <Users />
          </TabPanel>
          <TabPanel id="keys">
            <Keys />
          </TabPanel>
          <TabPanel id="log">
            <AuditLog />
          </TabPanel>
        </Tabs>
      )}
    </Page>
  );
}
