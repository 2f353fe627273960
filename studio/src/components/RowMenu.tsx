import { Button, Menu, MenuItem, MenuTrigger, Popover } from "react-aria-components";
import { text } from "../text/en";
import { Icon } from "./Icon";

export type Action = { id: string; label: string; act: () => void; isDanger?: boolean };

/** What can be done with one row, behind three dots. */
export function RowMenu({ name, actions }: { name: string; actions: Action[] }) {
  return (
    <MenuTrigger>
      <Button className="button quiet" aria-label={text.common.actionsFor(name)}>
        <Icon name="more" />
      </Button>
      <ActionPopover name={name} actions={actions} />
    </MenuTrigger>
  );
}

/** The list of a menu; stands inside a MenuTrigger behind its button. */
export function ActionPopover({ name, actions }: { name: string; actions: Action[] }) {
  return (
    <Popover placement="bottom end">
      <Menu
        aria-label={text.common.actionsFor(name)}
        onAction={(key) => actions.find(({ id }) => id === key)?.act()}
      >
        {actions.map(({ id, label, isDanger }) => (
          <MenuItem key={id} id={id} className={`react-aria-MenuItem${isDanger ? " danger" : ""}`}>
            {label}
          </MenuItem>
        ))}
      </Menu>
    </Popover>
  );
}
