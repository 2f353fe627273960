import { Button, Dialog, Heading, Modal, ModalOverlay } from "react-aria-components";

type Props = {
  isOpen: boolean;
  onClose: () => void;
  title: string;
  body: string;
  keep: string;
  act: string;
  onAct: () => void;
};

/** A question before something that cannot be undone; the harmless answer has the focus. */
export function Confirm({ isOpen, onClose, title, body, keep, act, onAct }: Props) {
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
