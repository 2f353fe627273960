import { type ComponentProps, lazy, type ReactNode, Suspense, useId } from "react";
import {
  Button,
  FieldError,
  Input,
  Label,
  Menu,
  MenuItem,
  MenuTrigger,
  NumberField,
  Popover,
  Text,
  TextArea,
  TextField,
  type TextFieldProps,
} from "react-aria-components";
import { text } from "./text";

type NumberInputProps = {
  label: string;
  help?: string;
  value: number;
  change: (value: number) => void;
  min: number;
  max?: number;
  standard?: number; // the default, for Reset
};

/** A number field with a label, help, and a button that restores the default. */
export function NumberInput({ label, help, value, change, min, max, standard }: NumberInputProps) {
  const isOwn = standard !== undefined && value !== standard;
  return (
    <NumberField
      value={value}
      onChange={(next) => {
        if (!Number.isNaN(next)) change(next);
      }}
      minValue={min}
      maxValue={max}
      formatOptions={{ maximumFractionDigits: 8, useGrouping: false }}
    >
      <div className="row spread nowrap label-row">
        <Label>{label}</Label>
        {isOwn && (
          <Button
            slot={null}
            className="button quiet tiny"
            aria-label={text.common.resetField(label)}
            onPress={() => change(standard)}
          >
            {text.common.reset}
          </Button>
        )}
      </div>
      <Input />
      {help && (
        <Text slot="description" className="help">
          {help} {standard !== undefined && text.common.standard(standard)}
        </Text>
      )}
      <FieldError className="wrong" />
    </NumberField>
  );
}

/** A value and its label. */
export type Option = readonly [value: string, label: string, isDisabled?: boolean];

const ComboField = lazy(() => import("./ComboField").then((module) => ({ default: module.ComboField })));
const MANY = 12; // options; beyond, a list is searched rather than read

export type SelectFieldProps = {
  label: string;
  value: string;
  change: (value: string) => void;
  options?: readonly Option[];
  groups?: readonly (readonly [label: string, options: readonly Option[]])[]; // empty groups are left out
  help?: ReactNode;
  isLabelHidden?: boolean;
  isSmall?: boolean;
};

/** A select that becomes a field to search in as soon as its list is long. */
export function SearchableSelect(props: SelectFieldProps) {
  const { options = [], groups = [] } = props;
  const select = <SelectField {...props} />;
  if (options.length + groups.flatMap(([, inner]) => inner).length <= MANY) return select;
  return (
    <Suspense fallback={select}>
      <ComboField {...props} />
    </Suspense>
  );
}

/** The browser's own select with a label, because it works everywhere and with every input device. */
export function SelectField(props: SelectFieldProps) {
  const { label, value, change, options = [], groups = [], help, isLabelHidden, isSmall } = props;
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id} className={isLabelHidden ? "visually-hidden" : undefined}>
        {label}
      </label>
      <select
        id={id}
        className={`select${isSmall ? " compact" : ""}`}
        value={value}
        aria-describedby={help ? `${id}-help` : undefined}
        onChange={(event) => change(event.target.value)}
      >
        {options.map(drawn)}
        {groups
          .filter(([, inner]) => inner.length > 0)
          .map(([name, inner]) => (
            <optgroup key={name} label={name}>
              {inner.map(drawn)}
            </optgroup>
          ))}
      </select>
      {help && (
        <span className="help" id={`${id}-help`}>
          {help}
        </span>
      )}
    </div>
  );
}

const drawn = ([value, label, isDisabled]: Option) => (
  <option key={value} value={value} disabled={isDisabled}>
    {label}
  </option>
);

type TextInputProps = Omit<TextFieldProps, "children" | "onChange"> & {
  label: string;
  change: (value: string) => void;
  help?: ReactNode;
  error?: string; // shown while the field is invalid
  isLabelHidden?: boolean;
  area?: Omit<ComponentProps<typeof TextArea>, "ref">; // for several lines
};

/** A text field with a label, help and an error message. */
export function TextInput({ label, change, help, error, isLabelHidden, area, ...field }: TextInputProps) {
  return (
    <TextField onChange={change} {...field}>
      <Label className={isLabelHidden ? "visually-hidden" : "react-aria-Label"}>{label}</Label>
      {area ? <TextArea dir="auto" {...area} /> : <Input dir="auto" />}
      {help && (
        <Text slot="description" className="help">
          {help}
        </Text>
      )}
      {error && <FieldError className="wrong">{error}</FieldError>}
    </TextField>
  );
}

type CheckboxProps = { label: string; isChecked: boolean; change: (isChecked: boolean) => void; isDisabled?: boolean };

/** A check box with its label. */
export function Checkbox({ label, isChecked, change, isDisabled }: CheckboxProps) {
  return (
    <label className="row plain">
      <input
        type="checkbox"
        checked={isChecked}
        disabled={isDisabled}
        onChange={({ target }) => change(target.checked)}
      />
      {label}
    </label>
  );
}

export type Action = { id: string; label: string; act: () => void; isDanger?: boolean };

/** The actions on a row, behind three dots. */
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

/** The list of actions; goes into a MenuTrigger after its button. */
export function ActionPopover({ name, actions }: { name: string; actions: Action[] }) {
  return (
    <Popover placement="bottom end">
      <Menu aria-label={text.common.actionsFor(name)} onAction={(key) => actions.find(({ id }) => id === key)?.act()}>
        {actions.map(({ id, label, isDanger }) => (
          <MenuItem key={id} id={id} className={`react-aria-MenuItem${isDanger ? " danger" : ""}`}>
            {label}
          </MenuItem>
        ))}
      </Menu>
    </Popover>
  );
}

const PATHS = {
  library: "M4 5h5v14H4zM11 5h4v14h-4zM17.5 5.6l3 .8-3.4 13-3-.8z",
  create: "M12 5v14M5 12h14",
  playground: "M4 5h16v11H10l-5 4v-4H4z",
  prompts: "M5 4h14v16H5zM8 9h8M8 13h8M8 17h5",
  bases: "M4 6c0-4 16-4 16 0s-16 4-16 0v12c0 4 16 4 16 0V6M4 12c0 4 16 4 16 0",
  activity: "M3 12h4l3-7 4 14 3-7h4",
  help: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM9.6 9.4a2.5 2.5 0 1 1 3.4 2.4c-.7.3-1 .8-1 1.7M12 16.8v.2",
  accounts:
    "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3 20c0-4 3-6 6-6s6 2 6 6M16 11a3 3 0 1 0-1-5.8M17 14c2.5.5 4 2.5 4 6",
  menu: "M4 7h16M4 12h16M4 17h16",
  more: "M12 5v.01M12 12v.01M12 19v.01",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 13l4 4L19 7",
  up: "M12 19V6M6 11l6-6 6 6",
  open: "M6 9l6 6 6-6",
  shut: "M6 15l6-6 6 6",
  down: "M12 5v13M6 13l6 6 6-6",
} as const;

export type IconName = keyof typeof PATHS;

/** A decorative icon next to a word. */
export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg
      className={`icon icon-${name}`}
      width={size}
      height={size}
      viewBox="0 0 24 24"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
