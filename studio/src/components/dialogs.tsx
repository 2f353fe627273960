import type { ReactNode } from "react";
import { Button, Dialog, Heading, Modal, ModalOverlay } from "react-aria-components";
import { Icon } from "./controls";
import { text } from "./text";

type WindowProps = {
  title: string;
  isOpen: boolean;
  onClose: () => void;
  isWide?: boolean;
  children: ReactNode;
};

/** A modal dialog: traps the focus, closes with Esc, returns the focus. */
export function Window({ title, isOpen, onClose, isWide, children }: WindowProps) {
  return (
    <ModalOverlay isDismissable isOpen={isOpen} onOpenChange={(open) => !open && onClose()}>
      <Modal className={`react-aria-Modal${isWide ? " wide" : ""}`}>
        <Dialog>
          <div className="stack">
            <div className="row spread nowrap">
              <Heading slot="title" level={2} dir="auto">
                {title}
              </Heading>
              <Button className="button quiet" aria-label={text.common.close} onPress={onClose}>
                <Icon name="close" />
              </Button>
            </div>
            {children}
          </div>
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}

type ConfirmProps = {
  isOpen: boolean;
  onClose: () => void;
  title: string;
  body: string;
  keep: string;
  act: string;
  onAct: () => void;
};

type DeletionProps = { name: string; body?: string; isOpen: boolean; onClose: () => void; onAct: () => void };

/** A confirmation before something is deleted; by default a tuned model. */
export function ConfirmDeletion({ name, body = text.removal.body, ...rest }: DeletionProps) {
  const { cancel, remove } = text.common;
  return <Confirm {...rest} title={text.removal.title(name)} body={body} keep={cancel} act={remove} />;
}

/** A confirmation before an action that cannot be undone; the harmless button has the focus. */
export function Confirm({ isOpen, onClose, title, body, keep, act, onAct }: ConfirmProps) {
  return (
    <ModalOverlay isDismissable isOpen={isOpen} onOpenChange={(open) => !open && onClose()}>
      <Modal>
        <Dialog role="alertdialog">
          <div className="stack">
            <Heading slot="title" level={2}>
              {title}
            </Heading>
            <p>{body}</p>
            <div className="row end">
              {/* a dialog moves the focus; the harmless answer gets it */}
              {/* eslint-disable-next-line jsx-a11y/no-autofocus */}
              <Button autoFocus onPress={onClose}>
                {keep}
              </Button>
              <Button
                className="button danger"
                onPress={() => {
                  onClose();
                  onAct();
                }}
              >
                {act}
              </Button>
            </div>
          </div>
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}
