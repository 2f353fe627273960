import { useState } from "react";
import { chosenTheme, setTheme, THEMES, type Theme } from "../theme";
import { text } from "../text/en";
import { SelectField } from "./SelectField";

/** Light, dark, or as the system says; remembered in this browser. */
export function ThemeSwitch() {
  const [theme, show] = useState(chosenTheme);
  return (
    <SelectField
      label={text.theme.label}
      value={theme}
      isSmall
      change={(next) => {
        setTheme(next as Theme);
        show(next as Theme);
      }}
    >
      {THEMES.map((choice) => (
        <option key={choice} value={choice}>
          {text.theme[choice]}
        </option>
      ))}
    </SelectField>
  );
}
