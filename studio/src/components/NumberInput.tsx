import { FieldError, Input, Label, NumberField, Text } from "react-aria-components";

type Props = {
  label: string;
  help?: string;
  value: number;
  change: (value: number) => void;
  min: number;
  max?: number;
  step?: number;
};

/** A number with its name, one sentence of help, and what is wrong with it. */
export function NumberInput({ label, help, value, change, min, max, step }: Props) {
  return (
    <NumberField
      value={value}
      onChange={(next) => {
        if (!Number.isNaN(next)) change(next);
      }}
      minValue={min}
      maxValue={max}
      formatOptions={{ maximumFractionDigits: 6, useGrouping: false }}
      {...(step !== undefined && { step })}
    >
      <Label>{label}</Label>
      <Input />
      {help && (
        <Text slot="description" className="help">
          {help}
        </Text>
      )}
      <FieldError className="wrong" />
    </NumberField>
  );
}
