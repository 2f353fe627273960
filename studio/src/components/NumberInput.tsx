import { Button, FieldError, Input, Label, NumberField, Text } from "react-aria-components";
import { text } from "../text/en";

type Props = {
  label: string;
  help?: string;
  value: number;
  change: (value: number) => void;
  min: number;
  max?: number;
  standard?: number; // what Reset goes back to
};

/** A number with its name, one sentence of help, its default and the way back to it. */
export function NumberInput({ label, help, value, change, min, max, standard }: Props) {
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
            aria-label={text.create.resetField(label)}
            onPress={() => change(standard)}
          >
            {text.create.reset}
          </Button>
        )}
      </div>
      <Input />
      {help && (
        <Text slot="description" className="help">
          {help} {standard !== undefined && text.create.standard(standard)}
        </Text>
      )}
      <FieldError className="wrong" />
    </NumberField>
  );
}
