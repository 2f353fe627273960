import { useState } from "react";
import { Button } from "react-aria-components";
import { Link, useLocation } from "wouter";
import type { TunedModel } from "../../api/client";
import { idOf, isRunning, useCancel, useDelete } from "../../api/models";
import { useOffers } from "../../api/server";
import { openPath } from "../../download";
import { useRole } from "../../hooks/useRole";
import { text } from "../../text/en";
import { toast } from "../../toasts";
import { Confirm } from "../Confirm";
import { RowMenu, type Action } from "../RowMenu";
import { ShareDialog } from "../ShareDialog";
import { ExportDialog } from "./ExportDialog";

/** What can be done with a tuned model, as far as the role allows it. */
export function ModelActions({ model }: { model: TunedModel }) {
  const [, go] = useLocation();
  const id = idOf(model.name);
  const [open, setOpen] = useState<"cancel" | "export" | "remove" | "share">();
  const [cancel, remove] = [useCancel(id), useDelete()];
  const role = useRole(id);
  const hasCard = useOffers("tunedModels.card");
  const canExport = useOffers("tunedModels.export");
  const [isReady, isUnderWay] = [model.state === "ACTIVE", isRunning(model)];
  const canWrite = role === "OWNER" || role === "WRITER";
  const close = () => setOpen(undefined);
  const rare: Action[] = [
    { id: "again", label: text.model.again, act: () => go(`/new?from=${id}`) },
    ...(hasCard && isReady
      ? [
          {
            id: "card",
            label: text.model.card,
            act: () => openPath(`tunedModels/${id}:card?format=markdown`),
          },
        ]
      : []),
    ...(role === "OWNER"
      ? [{ id: "remove", label: text.model.remove, act: () => setOpen("remove"), isDanger: true }]
      : []),
  ];
  return (
    <>
      {isReady && (
        <>
          <Link className="button primary" href={`/playground?model=${model.name}`}>
            {text.model.use}
          </Link>
          <Link className="button" href={`/playground?model=${model.name}&with=models/${model.baseWeights}`}>
            {text.model.compare}
          </Link>
        </>
      )}
      {isUnderWay && canWrite && (
        <Button className="button danger" onPress={() => setOpen("cancel")} isDisabled={cancel.isSuccess}>
          {cancel.isSuccess ? text.model.cancelling : text.model.cancel}
        </Button>
      )}
      <Button onPress={() => setOpen("share")}>{text.sharing.share}</Button>
      {isReady && canExport && <Button onPress={() => setOpen("export")}>{text.model.export}</Button>}
      <RowMenu name={model.displayName} actions={rare} />
      {open === "share" && <ShareDialog id={id} name={model.displayName} onClose={close} />}
      {open === "export" && <ExportDialog model={model} onClose={close} />}
      <Confirm
        isOpen={open === "cancel"}
        onClose={close}
        title={text.model.cancelTitle(model.displayName)}
        body={text.model.cancelText}
        keep={text.model.keep}
        act={text.model.stop}
        onAct={() => cancel.mutate(undefined, { onError: (error) => toast(error.message, { kind: "bad" }) })}
      />
      <Confirm
        isOpen={open === "remove"}
        onClose={close}
        title={text.model.removeTitle(model.displayName)}
        body={text.model.removeText}
        keep={text.model.keepModel}
        act={text.model.remove}
        onAct={() =>
          remove.mutate([id], {
            onSuccess: () => {
              toast(text.model.removed(model.displayName));
              go("/");
            },
            onError: (error) => toast(error.message, { kind: "bad" }),
          })
        }
      />
    </>
  );
}
