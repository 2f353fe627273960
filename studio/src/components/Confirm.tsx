import { Button, Dialog, DialogTrigger, Heading, Modal, ModalOverlay } from "react-aria-components";

type Props = { trigger: string; title: string; body: string; keep: string; act: string; onAct: () => void };

/** A question before something that cannot be undone; the harmless answer has the focus. */
export function Confirm({ trigger, title, body, keep, act, onAct }: Props) {
  return (
    <DialogTrigger>
      <Button className="button danger">{trigger}</Button>
      <ModalOverlay isDismissable>
        <Modal>
          <Dialog role="alertdialog">
            {({ close }) => (
              <div className="stack">
                <Heading slot="title" level={2}>
                  {title}
                </Heading>
                <p>{body}</p>
                <div className="row" style={{ justifyContent: "flex-end" }}>
                  {/* a dialog moves the focus; the harmless answer gets it */}
                  {/* eslint-disable-next-line jsx-a11y/no-autofocus */}
                  <Button autoFocus onPress={close}>
                    {keep}
                  </Button>
                  <Button
                    className="button danger"
                    onPress={() => {
                      onAct();
                      close();
                    }}
                  >
                    {act}
                  </Button>
                </div>
              </div>
            )}
          </Dialog>
        </Modal>
      </ModalOverlay>
    </DialogTrigger>
  );
}
