import { useState } from "react";
import { Button } from "react-aria-components";
import { Link, useLocation } from "wouter";
import { useLimits } from "../../api/account";
import { canEdit, idOf, type TunedModel } from "../../api/client";
import { isRunning, useCancel, useDelete, useRename } from "../../api/models";
import { type Action, RowMenu, TextInput } from "../controls";
import { Confirm, ConfirmDeletion } from "../dialogs";
import { ErrorNote } from "../Page";
import { ShareDialog } from "../ShareDialog";
import { toast, toastError } from "../toasts";
import { CardDialog } from "./CardDialog";
import { ExportDialog } from "./ExportDialog";
import { text } from "./text";

/** The actions on a tuned model that the user's role allows. */
export function ModelActions({ model }: { model: TunedModel }) {
  const [, go] = useLocation();
  const id = idOf(model.name);
  const [open, setOpen] = useState<"cancel" | "card" | "export" | "remove" | "share">();
  const [cancel, remove] = [useCancel(id), useDelete()];
  const { role } = model;
  const [isReady, isUnderWay] = [model.state === "ACTIVE", isRunning(model)];
  const canWrite = canEdit(model);
  const close = () => setOpen(undefined);
  const rare: Action[] = [
    { id: "again", label: text.common.again, act: () => go(`/new?from=${id}`) },
    ...(isReady
      ? [
          {
            id: "card",
            label: text.model.card,
            act: () => setOpen("card"),
          },
        ]
      : []),
    ...(role === "OWNER"
      ? [{ id: "remove", label: text.common.remove, act: () => setOpen("remove"), isDanger: true }]
      : []),
  ];
  return (
    <>
      {isReady && (
        <>
          <Link className="button primary" href={`/playground?model=${model.name}`}>
            {text.common.use}
          </Link>
          <Link className="button" href={`/playground?model=${model.name}&with=models/${model.baseWeights}`}>
            {text.model.compare}
          </Link>
        </>
      )}
      {isUnderWay && canWrite && (
        <Button className="button danger" onPress={() => setOpen("cancel")} isDisabled={cancel.isSuccess}>
          {cancel.isSuccess ? text.model.cancelling : text.job.cancel}
        </Button>
      )}
      <Button onPress={() => setOpen("share")}>{text.sharing.share}</Button>
      {isReady && <Button onPress={() => setOpen("export")}>{text.common.export}</Button>}
      <RowMenu name={model.displayName} actions={rare} />
      {open === "share" && <ShareDialog model={model} onClose={close} />}
      {open === "card" && <CardDialog model={model} onClose={close} />}
      {open === "export" && <ExportDialog model={model} onClose={close} />}
      <Confirm
        isOpen={open === "cancel"}
        onClose={close}
        title={text.job.cancelTitle(`“${model.displayName}”`)}
        body={text.job.cancelText}
        keep={text.job.keep}
        act={text.job.cancel}
        onAct={() => cancel.mutate(undefined, { onError: toastError })}
      />
      <ConfirmDeletion
        isOpen={open === "remove"}
        onClose={close}
        name={model.displayName}
        onAct={() =>
          remove.mutate([id], {
            onSuccess: () => {
              toast(text.removal.done(model.displayName));
              go("/");
            },
            onError: toastError,
          })
        }
      />
    </>
  );
}

/** ID and description under the heading, and the form that renames the model. */
export function ModelName({ model }: { model: TunedModel }) {
  const id = idOf(model.name);
  const [name, setName] = useState<string>(); // undefined: not being renamed
  const rename = useRename(id);
  const { displayNameCharacters } = useLimits();
  const canWrite = canEdit(model);
  if (name === undefined) {
    return (
      <div className="row small-gap under-head">
        <span className="soft mono">{id}</span>
        {canWrite && (
          <Button className="button quiet tiny" onPress={() => setName(model.displayName)}>
            {text.model.rename}
          </Button>
        )}
        {model.description && (
          <span className="soft" dir="auto">
            {model.description}
          </span>
        )}
      </div>
    );
  }
  return (
    <form
      className="stack tight"
      onSubmit={(event) => {
        event.preventDefault();
        rename.mutate(name.trim(), { onSuccess: () => setName(undefined) });
      }}
    >
      {rename.isError && <ErrorNote error={rename.error} />}
      <div className="row bottom">
        <TextInput
          label={text.common.name}
          value={name}
          change={setName}
          maxLength={displayNameCharacters}
          isRequired
          // pressing Rename opens this field; typing comes next
          // eslint-disable-next-line jsx-a11y/no-autofocus
          autoFocus
          className="react-aria-TextField grow"
        />
        <Button type="submit" className="button primary" isDisabled={name.trim() === ""}>
          {text.model.saveName}
        </Button>
        <Button onPress={() => setName(undefined)}>{text.common.cancel}</Button>
      </div>
    </form>
  );
}
