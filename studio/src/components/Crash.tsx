import { Component, type ReactNode } from "react";
import { Button } from "react-aria-components";
import { text } from "../text/en";

/** Stands in for a page that stopped working, so that the rest of the Studio goes on. */
export class Crash extends Component<{ place: string; children: ReactNode }, { isBroken: boolean }> {
  override state = { isBroken: false };

  static getDerivedStateFromError() {
    return { isBroken: true };
  }

  override componentDidUpdate(before: { place: string }) {
    if (before.place !== this.props.place && this.state.isBroken) this.setState({ isBroken: false });
  }

  override render() {
    if (!this.state.isBroken) return this.props.children;
    return (
      <div className="page" role="alert">
        <h1>{text.error.crashed}</h1>
        <p>{text.error.crashedHelp}</p>
        <div className="row">
          <Button className="button primary" onPress={() => location.reload()}>
            {text.error.reload}
          </Button>
        </div>
      </div>
    );
  }
}
