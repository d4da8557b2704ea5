// Makes key pairs in the browser.
