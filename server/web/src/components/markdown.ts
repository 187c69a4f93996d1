// Markdown to a safe document fragment: marked parses, DOMPurify keeps known elements. It is loaded when needed.
import DOMPurify from "dompurify";
import { Marked } from "marked";

/** Elements that a text may contain as HTML. All other HTML is shown as it is written. */
const PLAIN_TAG = /^<\/?(b|br|code|del|details|em|hr|i|ins|kbd|s|strong|sub|summary|sup|u)\s*\/?>$/i;
const escaped = (text: string) => text.replaceAll("<", "&lt;").replaceAll(">", "&gt;");

const marked = new Marked({
  gfm: true,
  breaks: true,
  walkTokens: (token) => {
    // The page has headings of its own: those of a text are below them.
    if (token.type === "heading") token["depth"] = Math.min(6, (token["depth"] as number) + 1);
  },
  renderer: {
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    html: ({ text }) => text.replace(/<[^<>]*>?|>/g, (tag) => (PLAIN_TAG.test(tag) ? tag : escaped(tag))),
  },
});

// Neither styles nor classes, ids and names: a text cannot cover the page or change how the page works.
const ALLOWED_TAGS = `a b blockquote br code dd del details div dl dt em h2 h3 h4 h5 h6 hr i img ins kbd li ol p pre s span strong sub summary
  sup table tbody td th thead tr u ul #text`.split(/\s+/);
const ALLOWED_ATTR = ["href", "title", "alt", "src", "align", "start"];
/** Addresses of files of this server, and pictures inside the text. */
const OWN_IMAGE = /^(\/[^/\\]*)?\/api\/v1\/projects\/|^data:image\/(png|jpeg|gif|webp);/;

const purify = DOMPurify(window);
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A" && node.hasAttribute("href")) {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  }
  if (node.tagName !== "IMG") return;
  const address = node.getAttribute("src") ?? "";
  if (OWN_IMAGE.test(address)) {
    node.setAttribute("loading", "lazy");
    return;
  }
  // A picture of another server would tell that server who reads this page: it becomes a link.
  const link = node.ownerDocument.createElement("a");
  link.textContent = node.getAttribute("alt") || address;
  if (/^https?:\/\//.test(address)) {
    link.href = address;
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  node.replaceWith(link);
});

/** Returns a text as elements. Nothing in it runs or loads by itself. */
export function renderMarkdown(text: string): DocumentFragment {
  const html = marked.parse(text, { async: false });
  return purify.sanitize(html, {
    ALLOWED_TAGS,
    ALLOWED_ATTR,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: /^(https?:|mailto:|\/(?![/\\])|#|data:image\/(png|jpeg|gif|webp);)/i,
    RETURN_DOM_FRAGMENT: true,
  });
}
