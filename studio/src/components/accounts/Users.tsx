import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Button } from "react-aria-components";
import { ApiError, type Schemas, send } from "../../api/client";
import { CopyButton } from "../Code";
import { Checkbox, RowMenu, TextInput } from "../controls";
import { Window } from "../dialogs";
import { Ago, Table } from "../Facts";
import { ErrorNote, QueryState } from "../Page";
import { toast, toastError } from "../toasts";
import { text } from "./text";

type User = Schemas["UserMessage"];
const PATH = "/v1beta/accounts/users";
const HEADS = [
  [text.accounts.user],
  [text.accounts.role],
  [text.accounts.password],
  [text.accounts.created, "extra"],
  [<span className="visually-hidden">{text.common.actions}</span>, "narrow"],
] as const;

export const useUsers = () =>
  useQuery({
    queryKey: ["users"],
    queryFn: async () => (await send<{ users: User[] }>("GET", PATH)).users,
    retry: false,
  });

/** Who may sign in: add people, give them links or passwords, lock them out. */
export function Users() {
  const query = useUsers();
  const client = useQueryClient();
  const [link, setLink] = useState<{ user: string; uri: string }>();
  const [toSet, setToSet] = useState<string>();
  const onSettled = () => client.invalidateQueries({ queryKey: ["users"] });
  const giveLink = useMutation({
    mutationFn: (user: string) => send<{ uri: string }>("POST", "/v1beta/accounts/setupLinks", { user }),
    onSuccess: ({ uri }, user) => setLink({ user, uri }),
    onError: toastError,
  });
  const lock = useMutation({
    mutationFn: ({ id, isDisabled }: User) => send("PATCH", `${PATH}/${id}`, { isDisabled: !isDisabled }),
    onSuccess: (_, { id, isDisabled }) => toast(isDisabled ? text.accounts.enabled(id) : text.accounts.disabled(id)),
    onError: toastError,
    onSettled,
  });
  if (!query.data) return <AccountsState query={query} />;
  return (
    <div className="stack">
      <AddUser done={(user) => giveLink.mutate(user)} />
      <div className="card flush scroll fitted">
        <Table heads={HEADS}>
          <tbody>
            {query.data.map((user) => (
              <tr key={user.id}>
                <td className="title">{text.signIn.you(user.id)}</td>
                <td>{text.accounts.roles[roleOf(user)]}</td>
                <td className="soft">{text.accounts.hasPassword(user.hasPassword)}</td>
                <td className="soft nowrap extra">
                  <Ago time={user.createTime} />
                </td>
                <td className="narrow">
                  <RowMenu
                    name={text.signIn.you(user.id)}
                    actions={[
                      { id: "link", label: text.accounts.link, act: () => giveLink.mutate(user.id) },
                      { id: "password", label: text.accounts.setPassword, act: () => setToSet(user.id) },
                      {
                        id: "lock",
                        label: user.isDisabled ? text.accounts.enable : text.accounts.disable,
                        act: () => lock.mutate(user),
                        isDanger: !user.isDisabled,
                      },
                    ]}
                  />
                </td>
              </tr>
            ))}
          </tbody>
        </Table>
      </div>
      {link && (
        <Window title={text.accounts.linkTitle(link.user)} isOpen onClose={() => setLink(undefined)}>
          <p className="soft">{text.accounts.linkHelp}</p>
          <pre>{link.uri}</pre>
          <div className="row">
            <CopyButton content={link.uri} />
          </div>
        </Window>
      )}
      {toSet && <PasswordDialog user={toSet} onClose={() => void onSettled().then(() => setToSet(undefined))} />}
    </div>
  );
}

const roleOf = ({ isDisabled, isAdmin }: User) => (isDisabled ? "disabled" : isAdmin ? "admin" : "user");

/** Adds a person; a link to sign in follows. */
function AddUser({ done }: { done: (user: string) => void }) {
  const client = useQueryClient();
  const [address, setAddress] = useState("");
  const [isAdmin, setAdmin] = useState(false);
  const add = useMutation({
    mutationFn: () => send<User>("POST", PATH, { id: address.trim(), isAdmin }),
    onSuccess: ({ id }) => {
      setAddress("");
      setAdmin(false);
      done(id);
      return client.invalidateQueries({ queryKey: ["users"] });
    },
  });
  return (
    <form
      className="card stack tight"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        add.mutate();
      }}
    >
      {add.isError && <ErrorNote error={add.error} />}
      <div className="row bottom">
        <TextInput
          label={text.accounts.address}
          value={address}
          change={setAddress}
          type="email"
          className="react-aria-TextField grow"
        />
        <Button type="submit" className="button primary" isDisabled={address.trim() === "" || add.isPending}>
          {text.accounts.add}
        </Button>
      </div>
      <Checkbox label={text.accounts.isAdmin} isChecked={isAdmin} change={setAdmin} />
    </form>
  );
}

function PasswordDialog({ user, onClose }: { user: string; onClose: () => void }) {
  const [password, setPassword] = useState("");
  const save = useMutation({
    mutationFn: () => send("PATCH", `${PATH}/${user}`, { password }),
    onSuccess: onClose,
  });
  return (
    <Window title={text.accounts.passwordTitle(text.signIn.you(user))} isOpen onClose={onClose}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        {save.isError && <ErrorNote error={save.error} />}
        <TextInput
          label={text.accounts.newPassword}
          value={password}
          change={setPassword}
          type="password"
          autoComplete="new-password"
          help={text.accounts.passwordHelp}
        />
        <div className="row end">
          <Button onPress={onClose}>{text.common.cancel}</Button>
          <Button type="submit" className="button primary" isDisabled={password === "" || save.isPending}>
            {text.accounts.save}
          </Button>
        </div>
      </form>
    </Window>
  );
}

const RECENT = "RECENT_SIGN_IN_REQUIRED";
type Query = { isLoading: boolean; isError: boolean; error: unknown; refetch: () => unknown };

/** Shown instead of users or keys: a placeholder, an error, or a button to sign in again. */
export function AccountsState({ query }: { query: Query }) {
  const { error } = query;
  if (!(error instanceof ApiError) || error.reason !== RECENT) return <QueryState query={query} />;
  return (
    <div className="note" role="alert">
      <p>{error.message}</p>
      <Button className="button primary" onPress={() => void signInAgain()}>
        {text.accounts.signInAgain}
      </Button>
    </div>
  );
}

async function signInAgain() {
  await fetch("/signout", { method: "POST", credentials: "same-origin" });
  location.assign("/signin?next=/studio/accounts");
}
