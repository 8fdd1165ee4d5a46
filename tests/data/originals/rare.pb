
>
imagePlaceholder*
dtype0*
shape:
0
BetaincBetaincimageimageimage*
T0
)
IgammaIgammaimageBetainc*
T0
%
IdentityIdentityIgamma*
T0"ª