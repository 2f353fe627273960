import {
  Button,
  ComboBox,
  Header,
  Input,
  Label,
  ListBox,
  ListBoxItem,
  ListBoxSection,
  Popover,
} from "react-aria-components";
import { Icon, type Option, type SelectFieldProps } from "./controls";
import { text } from "./text";

const keyOf = (value: string) => `=${value}`; // an empty key would mean that nothing is chosen

/** A select whose options are narrowed by typing, for long lists. */
export function ComboField({ label, value, change, options = [], groups = [], help, isLabelHidden }: SelectFieldProps) {
  const all = [...options, ...groups.flatMap(([, inner]) => inner)];
  const chosen = all.find(([name]) => name === value)?.[1];
  const disabled = all.filter(([, , isDisabled]) => isDisabled).map(([name]) => keyOf(name));
  return (
    <ComboBox
      value={keyOf(value)}
      onChange={(key) => key !== null && change(String(key).slice(1))}
      disabledKeys={disabled}
      menuTrigger="focus"
      allowsEmptyCollection
    >
      <Label className={isLabelHidden ? "visually-hidden" : "react-aria-Label"}>{label}</Label>
      <div className="combo">
        {/* the name of the chosen one is replaced by what is typed, but the focus may come back while somebody types */}
        <Input dir="auto" onFocus={({ target }) => target.value === chosen && target.select()} />
        <Button className="button quiet" aria-label={text.common.allOf(label)}>
          <Icon name="open" size={14} />
        </Button>
      </div>
      {help && <span className="help">{help}</span>}
      <Popover className="react-aria-Popover as-wide">
        <ListBox renderEmptyState={() => <p className="soft">{text.common.noneFound}</p>}>
          {options.map(drawn)}
          {groups
            .filter(([, inner]) => inner.length > 0)
            .map(([name, inner]) => (
              <ListBoxSection key={name} id={name}>
                <Header>{name}</Header>
                {inner.map(drawn)}
              </ListBoxSection>
            ))}
        </ListBox>
      </Popover>
    </ComboBox>
  );
}

const drawn = ([value, label]: Option) => (
  <ListBoxItem key={value} id={keyOf(value)} textValue={label} className="react-aria-MenuItem">
    <span dir="auto">{label}</span>
  </ListBoxItem>
);
