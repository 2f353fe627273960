import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Button } from "react-aria-components";
import { api, dataOf, type Schemas } from "../../api/client";
import { type Option, SearchableSelect, TextInput } from "../controls";
import { Table } from "../Facts";
import { text } from "./text";
import { AccountsState, useUsers } from "./Users";

type AuditEvent = Schemas["AuditEventMessage"];
type Wanted = { actor: string; model: string };

const PAGE = 50;
const HEADS = [
  [text.audit.time],
  [text.audit.by],
  [text.audit.action],
  [text.audit.of],
  [text.audit.details, "extra"],
] as const;

/** Who did what, newest first: all of it, what one user did, or what was done to one tuned model. */
export function AuditLog() {
  const [wanted, setWanted] = useState<Wanted>({ actor: "", model: "" });
  const query = useAuditEvents(wanted);
  return (
    <div className="stack">
      <Filter wanted={wanted} change={setWanted} />
      {(!query.data || query.error) && <AccountsState query={query} />}
      {query.data?.length === 0 && <p className="card soft">{text.audit.none}</p>}
      {query.data && query.data.length > 0 && (
        <div className="card flush scroll fitted">
          <Table heads={HEADS} label={text.audit.title}>
            <tbody>
              {query.data.map((event, place) => (
                <tr key={place}>
                  <td className="soft">
                    <time dateTime={event.time}>{text.audit.at(event.time)}</time>
                  </td>
                  <td>{text.signIn.you(event.actor)}</td>
                  <td>{text.audit.did(event.action)}</td>
                  <td className="mono">{event.resource}</td>
                  <td className="soft extra" dir="auto">
                    {detailsOf(event)}
                  </td>
                </tr>
              ))}
            </tbody>
          </Table>
        </div>
      )}
      {query.hasNextPage && (
        <div className="row">
          <Button onPress={() => void query.fetchNextPage()} isDisabled={query.isFetchingNextPage}>
            {text.common.more}
          </Button>
        </div>
      )}
    </div>
  );
}

function useAuditEvents({ actor, model }: Wanted) {
  return useInfiniteQuery({
    queryKey: ["auditEvents", actor, model],
    queryFn: async ({ pageParam }) => {
      const of = model && { resource: `tunedModels/${model}` };
      const query = { pageSize: PAGE, ...(actor && { actor }), ...of, ...(pageParam && { pageToken: pageParam }) };
      return dataOf(await api.GET("/v1beta/accounts/auditEvents", { params: { query } }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken,
    select: ({ pages }) => pages.flatMap((page) => page.auditEvents),
    retry: false,
  });
}

/** Which user and which tuned model the events are about. */
function Filter({ wanted, change }: { wanted: Wanted; change: (wanted: Wanted) => void }) {
  const users = useUsers().data ?? [];
  const [model, setModel] = useState(wanted.model);
  return (
    <form
      className="card row bottom"
      onSubmit={(event) => {
        event.preventDefault();
        change({ ...wanted, model: model.trim().replace(/^tunedModels\//, "") });
      }}
    >
      <SearchableSelect
        label={text.audit.by}
        value={wanted.actor}
        change={(actor) => change({ ...wanted, actor })}
        options={[["", text.audit.everybody], ...users.map(({ id }): Option => [id, text.signIn.you(id)])]}
      />
      <TextInput
        label={text.audit.model}
        value={model}
        change={setModel}
        maxLength={100}
        className="react-aria-TextField grow"
      />
      <Button type="submit" className="button">
        {text.audit.show}
      </Button>
    </form>
  );
}

/** What an event says besides who, what and when: "grantee bob@example.com; role READER". */
function detailsOf({ details = {} }: AuditEvent): string {
  return Object.entries(details)
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${Array.isArray(value) ? value.join(", ") : String(value)}`)
    .join("; ");
}
