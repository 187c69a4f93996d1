// The content of a panel as a picture: its SVG elements with their styles, and its canvases as images.
import type { Picture } from "../charts/export";

const TITLE_HEIGHT = 32;
const STYLES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "opacity", "paint-order", "font-size", "font-weight", "text-anchor"];
const SVG = "http://www.w3.org/2000/svg";

function make(name: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

/** Copies an element with the styles that the page gives to it. */
function copy(source: Element): Element {
  const copied = source.cloneNode(true) as Element;
  const [from, to] = [[source, ...source.querySelectorAll("*")], [copied, ...copied.querySelectorAll("*")]];
  for (const [i, element] of to.entries()) {
    const style = getComputedStyle(from[i] as Element);
    for (const name of STYLES) element.setAttribute(name, style.getPropertyValue(name));
    for (const name of ["class", "style"]) element.removeAttribute(name);
  }
  return copied;
}

/** Returns the picture of an element that contains SVG elements and canvases of its size. */
export function pictureOfElement(content: HTMLElement, title: string): Picture {
  const [width, height] = [content.clientWidth, content.clientHeight + TITLE_HEIGHT];
  const page = getComputedStyle(content);
  const root = make("svg", { xmlns: SVG, width, height, viewBox: `0 0 ${width} ${height}`, "font-family": "system-ui, sans-serif" });
  const heading = make("text", { x: 12, y: 21, "font-size": 14, "font-weight": 600, fill: page.color });
  heading.textContent = title;
  const body = make("g", { transform: `translate(0 ${TITLE_HEIGHT})` });
  root.append(make("rect", { width: "100%", height: "100%", fill: page.getPropertyValue("--panel").trim() }), heading, body);
  for (const part of content.children) {
    if (part instanceof HTMLCanvasElement) {
      body.append(make("image", { width, height: content.clientHeight, href: part.toDataURL() }));
    } else if (part instanceof SVGSVGElement) body.append(copy(part));
  }
  return { text: new XMLSerializer().serializeToString(root), width, height };
}
