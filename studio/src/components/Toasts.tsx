import { Button } from "react-aria-components";
import { text } from "../text/en";
import { dismiss, useToasts } from "../toasts";
import { Icon } from "./Icon";

/** The short messages that are shown now; readers hear them as they come. */
export function Toasts() {
  const toasts = useToasts();
  return (
    <section className="toasts" aria-label={text.toast.region} aria-live="polite">
      {toasts.map(({ id, message, action, kind }) => (
        <div key={id} className={`toast ${kind ?? ""}`}>
          <span>{message}</span>
          {action && (
            <Button
              className="button quiet"
              onPress={() => {
                dismiss(id);
                action.act();
              }}
            >
              {action.label}
            </Button>
          )}
          <Button className="button quiet" aria-label={text.toast.close} onPress={() => dismiss(id)}>
            <Icon name="close" size={16} />
          </Button>
        </div>
      ))}
    </section>
  );
}
