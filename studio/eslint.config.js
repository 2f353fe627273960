import js from "@eslint/js";
import a11y from "eslint-plugin-jsx-a11y";
import hooks from "eslint-plugin-react-hooks";
import typescript from "typescript-eslint";

export default typescript.config(
  { ignores: ["node_modules", "src/api/schema.d.ts"] },
  js.configs.recommended,
  ...typescript.configs.strict,
  a11y.flatConfigs.strict,
  hooks.configs.flat.recommended,
  { rules: { "max-lines": ["error", 400] } },
);
