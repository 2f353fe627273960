import type { ReactNode } from "react";
import { Button, Dialog, Heading, Modal, ModalOverlay } from "react-aria-components";
import { text } from "../text/en";
import { Icon } from "./Icon";

type Props = {
  title: string;
  isOpen: boolean;
  onClose: () => void;
  isWide?: boolean;
  children: ReactNode;
};

/** A dialog over the page: traps the focus, closes with Esc, gives the focus back. */
export function Window({ title, isOpen, onClose, isWide, children }: Props) {
  return (
    <ModalOverlay isDismissable isOpen={isOpen} onOpenChange={(open) => !open && onClose()}>
      <Modal className={`react-aria-Modal${isWide ? " wide" : ""}`}>
        <Dialog>
          <div className="stack">
            <div className="row spread nowrap">
              <Heading slot="title" level={2}>
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
