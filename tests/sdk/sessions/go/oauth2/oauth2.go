// Package oauth2 is as much of golang.org/x/oauth2 as a generated client names, so that its test needs no module proxy.
package oauth2

import "net/http"

type Token struct{ AccessToken string }

func (token *Token) SetAuthHeader(request *http.Request) {
	request.Header.Set("Authorization", "Bearer "+token.AccessToken)
}

type TokenSource interface{ Token() (*Token, error) }
