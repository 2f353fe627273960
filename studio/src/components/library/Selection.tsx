import { Button } from "react-aria-components";
import { Link } from "wouter";
import { canEdit, idOf, type TunedModel } from "../../api/client";
import { isRunning, useCancelAll } from "../../api/models";
import { Confirm } from "../dialogs";
import { toast, toastError } from "../toasts";
import { text } from "./text";

const MOST_COMPARED = 5;

type SelectionProps = {
  models: TunedModel[];
  cancel: (models: TunedModel[]) => void;
  remove: (models: TunedModel[]) => void;
};

/** The actions on selected models: compare them, cancel those being tuned, delete them. */
export function Selection({ models, cancel, remove }: SelectionProps) {
  const open = models.filter((model) => isRunning(model) && canEdit(model));
  const own = models.filter(({ role }) => role === "OWNER");
  return (
    <div className="row selection">
      <strong>{text.library.selected(models.length)}</strong>
      {models.length > 1 && models.length <= MOST_COMPARED && (
        <Link className="button" href={`/compare?models=${models.map(({ name }) => idOf(name)).join(",")}`}>
          {text.library.compareSelected}
        </Link>
      )}
      {open.length > 0 && (
        <Button className="button danger" onPress={() => cancel(open)}>
          {text.job.cancel}
        </Button>
      )}
      {own.length > 0 && (
        <Button className="button danger" onPress={() => remove(own)}>
          {text.library.removeSelected}
        </Button>
      )}
    </div>
  );
}

/** The question before tuning jobs are cancelled. */
export function Cancellation({ models, close }: { models: TunedModel[]; close: () => void }) {
  const cancel = useCancelAll();
  const [first] = models;
  const names = models.length === 1 && first ? `“${first.displayName}”` : text.library.jobs(models.length);
  return (
    <Confirm
      isOpen={models.length > 0}
      onClose={close}
      title={text.job.cancelTitle(names)}
      body={text.job.cancelText}
      keep={text.job.keep}
      act={text.job.cancel}
      onAct={() =>
        cancel.mutate(
          models.map(({ name }) => idOf(name)),
          { onSuccess: () => toast(text.job.cancelled(names)), onError: toastError },
        )
      }
    />
  );
}
