import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Button } from "react-aria-components";
import { type Schemas, send } from "../../api/client";
import { CopyButton } from "../Code";
import { type Option, SelectField, TextInput } from "../controls";
import { Confirm, Window } from "../dialogs";
import { Ago, Table } from "../Facts";
import { ErrorNote } from "../Page";
import { toast, toastError } from "../toasts";
import { text } from "./text";
import { AccountsState, useUsers } from "./Users";

type Key = Schemas["KeyMessage"];
type Token = Schemas["TokenMessage"];
type Row = Pick<Key, "id" | "user" | "label" | "createTime" | "lastUseTime"> & {
  kind: keyof typeof text.accounts.kinds;
};

const PATH = "/v1beta/accounts";
const HEADS = [
  [text.accounts.key],
  [text.accounts.kind],
  [text.accounts.actsFor],
  [text.accounts.label, "extra"],
  [text.accounts.created, "extra"],
  [text.accounts.lastUsed, "extra"],
  [<span className="visually-hidden">{text.common.actions}</span>, "narrow"],
] as const;

/** API keys, key files, logins and tokens: create keys, revoke any of them. */
export function Keys() {
  const client = useQueryClient();
  const query = useQuery({ queryKey: ["keys"], queryFn: readKeys, retry: false });
  const [toRevoke, setToRevoke] = useState<Row>();
  const revoke = useMutation({
    mutationFn: ({ id, kind }: Row) =>
      send("DELETE", `${PATH}/${kind === "key" || kind === "file" ? "keys" : "tokens"}/${id}`),
    onSuccess: (_, { id }) => toast(text.accounts.revoked(id)),
    onError: toastError,
    onSettled: () => client.invalidateQueries({ queryKey: ["keys"] }),
  });
  if (!query.data) return <AccountsState query={query} />;
  return (
    <div className="stack">
      <CreateKey />
      {query.data.length === 0 ? (
        <p className="card soft">{text.accounts.none}</p>
      ) : (
        <div className="card flush scroll fitted">
          <Table heads={HEADS}>
            <tbody>
              {query.data.map((row) => (
                <tr key={row.id}>
                  <td className="mono">{row.id}</td>
                  <td>{text.accounts.kinds[row.kind]}</td>
                  <td className="soft">{row.user ? text.signIn.you(row.user) : "–"}</td>
                  <td className="soft extra" dir="auto">
                    {row.label}
                  </td>
                  <td className="soft nowrap extra">
                    <Ago time={row.createTime} />
                  </td>
                  <td className="soft nowrap extra">{row.lastUseTime ? <Ago time={row.lastUseTime} /> : "–"}</td>
                  <td className="narrow">
                    <Button
                      className="button quiet"
                      aria-label={`${text.accounts.revoke} ${row.id}`}
                      onPress={() => setToRevoke(row)}
                    >
                      {text.accounts.revoke}
                    </Button>
                  </td>
                </tr>
              ))}
            </tbody>
          </Table>
        </div>
      )}
      <Confirm
        isOpen={toRevoke !== undefined}
        onClose={() => setToRevoke(undefined)}
        title={text.accounts.revokeTitle(toRevoke?.id ?? "")}
        body={text.accounts.revokeText}
        keep={text.common.cancel}
        act={text.accounts.revoke}
        onAct={() => toRevoke && revoke.mutate(toRevoke)}
      />
    </div>
  );
}

async function readKeys(): Promise<Row[]> {
  const [{ keys }, { tokens }] = await Promise.all([
    send<{ keys: Key[] }>("GET", `${PATH}/keys`),
    send<{ tokens: Token[] }>("GET", `${PATH}/tokens`),
  ]);
  return [
    ...keys.map((key): Row => ({ ...key, kind: key.address ? "file" : "key" })),
    ...tokens.map((token): Row => ({ ...token, kind: token.client ? "login" : "token" })),
  ];
}

/** Creates an API key and shows it, once. */
function CreateKey() {
  const client = useQueryClient();
  const users = useUsers().data ?? [];
  const [label, setLabel] = useState("");
  const [user, setUser] = useState("");
  const create = useMutation({
    mutationFn: () => send<Key>("POST", `${PATH}/keys`, { label: label.trim(), ...(user && { user }) }),
    onSuccess: () => {
      setLabel("");
      return client.invalidateQueries({ queryKey: ["keys"] });
    },
  });
  const secret = create.data?.secret;
  return (
    <form
      className="card stack tight"
      onSubmit={(event) => {
        event.preventDefault();
        create.mutate();
      }}
    >
      {create.isError && <ErrorNote error={create.error} />}
      <div className="row bottom">
        <TextInput
          label={text.accounts.label}
          value={label}
          change={setLabel}
          maxLength={100}
          className="react-aria-TextField grow"
        />
        <SelectField
          label={text.accounts.actsFor}
          value={user}
          change={setUser}
          options={[["", text.accounts.nobody], ...users.map(({ id }): Option => [id, text.signIn.you(id)])]}
        />
        <Button type="submit" className="button primary" isDisabled={create.isPending}>
          {text.accounts.create}
        </Button>
      </div>
      {secret && (
        <Window title={text.accounts.made} isOpen onClose={create.reset}>
          <p className="soft">{text.accounts.madeHelp}</p>
          <pre>{secret}</pre>
          <div className="row">
            <CopyButton content={secret} />
          </div>
        </Window>
      )}
    </form>
  );
}
